"""What each command does, without its command line: question, answer, document (JSON) and text (people)."""
