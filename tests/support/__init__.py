"""What tests share: small catalogues, bundles, projects and servers, and the programs that tests run."""
