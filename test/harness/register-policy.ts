/** The registers of `history.ts` in a policy, and how a policy is loaded. */

/** The versions of a register are users with a role on it; the role is the register's group. See `history.ts`. */
export const groups = ["g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7"] as const;
/** The group of registers that are written once, to check whether writes are possible. */
export const probeGroup = "probes";

/** For a policy with an actor User. */
export const registerResource = `
resource Register {
  permissions = ["read"];
  roles = ${JSON.stringify([...groups, probeGroup])};
${groups.map((group) => `  "read" if "${group}";`).join("\n")}
}
`;

const policy = `actor User {}\ndeclare probe(User);\n${registerResource}`;

/** Resolves with the reason of a refusal; undefined if it was accepted. */
export async function sendPolicy(url: string, adminKey: string): Promise<string | undefined> {
  try {
    const response = await fetch(`${url}/api/policy`, {
      method: "POST",
      headers: { Authorization: `Bearer ${adminKey}` },
      body: JSON.stringify({ src: policy, filename: "policy.polar" }),
    });
    return response.ok ? undefined : await response.text();
  } catch (error) {
    return String(error);
  }
}
