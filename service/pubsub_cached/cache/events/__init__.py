"""Events of the services, from their arrival to what is committed and told."""
