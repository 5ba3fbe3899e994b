"""Reports: tables, pages of pictures, submission files."""
