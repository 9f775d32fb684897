/** Which of the encodings of a file a client accepts. */

export type ContentEncoding = "br" | "gzip" | "identity";

/** By `Accept-Encoding` (RFC 9110, 12.5.3): the smallest accepted encoding. Weights matter only if they are 0. */
export function acceptedEncoding(header: string): ContentEncoding {
  const weights = new Map(
    header.split(",").map((part) => {
      const [name = "", ...parameters] = part.split(";").map((text) => text.trim().toLowerCase());
      const weight = parameters.find((each) => each.startsWith("q="))?.slice(2) ?? "1";
      return [name, Number(weight)] as const;
    }),
  );
  const isAccepted = (name: string): boolean => (weights.get(name) ?? weights.get("*") ?? 0) > 0;
  return (["br", "gzip"] as const).find(isAccepted) ?? "identity";
}
