"""Reports: what runs add up to, for people. They read run folders and write text and pictures; they train nothing."""
