/** Which of the tokens that an issuer gives is for a node. */
import { decodeJwt } from "jose";

/** The first token for one of these audiences: a token for somebody else must not be sent to the node. */
export function tokenFor(tokens: readonly (string | undefined)[], audience: readonly string[]): string | undefined {
  return tokens.find((each) => isFor(each, audience));
}

/** Whether a token is a JWT for one of these audiences. Access tokens of some issuers are none. */
function isFor(token: string | undefined, audience: readonly string[]): boolean {
  try {
    const { aud = [] } = decodeJwt(token ?? "");
    return audience.some((each) => aud === each || (Array.isArray(aud) && aud.includes(each)));
  } catch {
    return false;
  }
}
