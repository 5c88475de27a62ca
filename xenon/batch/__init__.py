"""Many jobs of one kind on many processes or a cluster: their results in order, none lost and none twice."""
