/** The policy of a cluster under chaos, and how it is loaded. */

/** The versions of a register are users with a role on it; the role is the register's group. See `history.ts`. */
export const groups = ["g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7"] as const;
/** The group of registers that are written once, to check whether writes are possible. */
export const probeGroup = "probes";

const policy = `
actor User {}
declare probe(User);
resource Register {
  permissions = ["read"];
  roles = ${JSON.stringify([...groups, probeGroup])};
${groups.map((group) => `  "read" if "${group}";`).join("\n")}
}
`;

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
