"""Long jobs of a scenario: the `job` section read (`section`), recorded failures (`trace`), and the words (`job_words`)."""
