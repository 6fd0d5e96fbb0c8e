"""Picture files reduced to what their pixels need, before a decoder sees them: parts are counted, metadata is left out."""
