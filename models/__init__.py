"""The zoo, its data, training and evaluation. torch lives here."""
