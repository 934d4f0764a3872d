"""What will happen to this patient, how likely, and when?"""
