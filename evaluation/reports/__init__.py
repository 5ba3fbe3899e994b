"""Results for people and organisers: tables, pages of pictures, submission files."""
