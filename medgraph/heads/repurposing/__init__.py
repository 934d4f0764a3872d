"""Which drugs for a disease, which diseases for a drug?"""
