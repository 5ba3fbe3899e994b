"""Long recordings with moments at known times, generated from short captioned clips.

What makes such recordings comes in here; files of queries and predictions lie in `evaluation/moments/`.
"""
