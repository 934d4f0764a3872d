"""Do two drugs work together in a cell line?"""
