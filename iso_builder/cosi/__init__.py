"""`trident-iso cosi`: COSI files built, examined, taken apart and altered."""
