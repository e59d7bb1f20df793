"""A small orders API with its OpenAPI document and policy: what `sixfold demo` protects, and a policy to start from."""
