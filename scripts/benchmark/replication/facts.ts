/** The written facts, by number: each has another user, for one of 1,000 repositories. */
export const factNumber = (index: number) => ({
  predicate: "has_role",
  args: [
    { type: "User", id: `user-${index}` },
    { type: "String", id: "reader" },
    { type: "Repository", id: `repository-${index % 1000}` },
  ],
});
