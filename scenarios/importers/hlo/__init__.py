"""HLO and StableHLO text: read into one form, costed, lowered to ops."""
