"""Long recordings with moments at known times, generated from short captioned clips.

Code that generates such recordings belongs here; files of queries and predictions are in `evaluation/moments/`.
"""
