/** The fields that the decision log can leave out, and those that it can hash. */
export const omittableFields = ["actor", "resource", "context", "request", "trace", "key"] as const;
export const hashableFields = ["actor", "resource", "context", "request"] as const;
