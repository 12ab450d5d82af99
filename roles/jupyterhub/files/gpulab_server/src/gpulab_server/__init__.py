"""Extensions of users' Jupyter servers on a shared GPU host."""
