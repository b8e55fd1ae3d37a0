"""How any call is carried, whatever it is: from the bytes of a request to the bytes of its answer."""
