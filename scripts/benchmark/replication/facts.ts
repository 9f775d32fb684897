/** The facts that are written, by number: each of another user, for one of a thousand repositories. */
export const factNumber = (index: number) => ({
  predicate: "has_role",
  args: [
    { type: "User", id: `user-${index}` },
    { type: "String", id: "reader" },
    { type: "Repository", id: `repository-${index % 1000}` },
  ],
});
