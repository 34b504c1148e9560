"""ESP files, boot loaders, firmware boot entries."""
