"""The HTTP doors: artefacts, files, boot scripts, API, reports."""
