"""What a run costs: prices joined to its words (`cost_model`), and compared with what it replaces (`money_words`)."""
