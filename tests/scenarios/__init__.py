"""The language, the library, the command, money, and every kind of wrong file."""
