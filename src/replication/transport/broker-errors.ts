/**
 * Explains why a connection to a broker failed and how to fix it. TLS and MQTT report what they noticed, but seldom
 * what to do.
 */

/** The message of the error, with the fix if one is known. */
export function explainBrokerError(error: Error): string {
  const fix = fixFor(error);
  return fix === undefined ? error.message : `${error.message.trimEnd()} (${fix})`;
}

function fixFor(error: Error & { readonly code?: unknown }): string | undefined {
  if (typeof error.code === "number") return error.code > 0 ? fixes.get(error.code) : undefined;
  // An error on the other side has no code: it arrives as the name of a TLS alert.
  const alert = tlsAlertFixes.find(([pattern]) => pattern.test(error.message));
  return alert?.[1] ?? (typeof error.code === "string" ? fixes.get(error.code) : undefined);
}

const unknownAuthority =
  "the broker's certificate is from an authority that this node does not trust: name the authority in `brokerCa`";
const wrongLogin = "check `brokerUsername` and `brokerPassword`, or the name in `brokerCert`";
const missingPermission = "the broker's access rules do not permit it: check its ACL for this user";
const ownCertificate =
  "the broker does not accept the certificate in `brokerCert`: check its issuer and its expiry date";

/** By TLS and socket error code, and by MQTT reason code. Codes below 128 are of MQTT 3.1.1. */
const fixes = new Map<string | number, string>([
  ["SELF_SIGNED_CERT_IN_CHAIN", unknownAuthority],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", unknownAuthority],
  ["UNABLE_TO_GET_ISSUER_CERT", unknownAuthority],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", unknownAuthority],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", unknownAuthority],
  ["CERT_HAS_EXPIRED", "the broker's certificate has to be renewed"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "the host in `broker` has to be one of those that the broker's certificate names"],
  ["ECONNREFUSED", "there is no listener"],
  ["ENOTFOUND", "there is no such host"],
  ["ECONNRESET", "a listener that expects TLS does this to `mqtt://`: would `mqtts://` be right?"],
  [4, wrongLogin],
  [5, wrongLogin],
  [134, wrongLogin],
  [135, missingPermission],
]);

const tlsAlertFixes: readonly (readonly [RegExp, string])[] = [
  [
    /ALERT_CERTIFICATE_REQUIRED|ALERT_HANDSHAKE_FAILURE/,
    "the broker wants a client certificate: set `brokerCert` and `brokerKey`",
  ],
  [/ALERT_(?:UNKNOWN_CA|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_\w+)/, ownCertificate],
  [/WRONG_VERSION_NUMBER/, "the listener does not use TLS: would `mqtt://` be right?"],
];
