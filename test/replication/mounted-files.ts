/** TLS files as Kubernetes mounts a secret: links into a directory, which one rename replaces together. */
import { copyFileSync, mkdirSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Certificate } from "../e2e/certificates.ts";

export function mountedFiles(place: string, first: Certificate) {
  let version = 0;
  const replace = ({ cert, key }: Certificate): void => {
    const target = `..${(version += 1)}`;
    mkdirSync(join(place, target), { recursive: true });
    copyFileSync(cert, join(place, target, "tls.crt"));
    copyFileSync(key, join(place, target, "tls.key"));
    symlinkSync(target, join(place, "..data_new"));
    renameSync(join(place, "..data_new"), join(place, "..data"));
  };
  replace(first);
  for (const file of ["tls.crt", "tls.key"]) symlinkSync(`..data/${file}`, join(place, file));
  return { cert: join(place, "tls.crt"), key: join(place, "tls.key"), replace };
}
