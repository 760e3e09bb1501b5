"""Items parsed: which analyser a node has, its parser called here or on a thread, and the agents of clients asked."""
