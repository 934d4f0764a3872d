"""How strongly does a drug bind a target, and do two drugs work together?"""
