"""One function per verb: joins the stages and returns a value. Files, clock and environment are allowed here."""
