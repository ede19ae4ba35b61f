"""How forms look: sections and inputs, each with its label and its rule. The models of `accounts` say what is right."""
