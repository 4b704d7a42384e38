//! The web server whose pages carry telephone numbers and the data linked to them.
