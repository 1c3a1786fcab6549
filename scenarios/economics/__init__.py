"""What a run costs: prices joined to its words (`books`), and compared with what it replaces (`ledger`)."""
