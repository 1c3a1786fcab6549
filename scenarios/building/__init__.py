"""From a document to a scenario that can be run (`build`), section by section, and its run in words (`run_one`)."""
