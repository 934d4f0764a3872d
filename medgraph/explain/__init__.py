"""Why did a model say so?"""
