//! Telephone numbers as people write them, the dialling policy, tel URIs and linked data.
