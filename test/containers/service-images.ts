/**
 * Images of Mosquitto and etcd for the compose files, made of the programs of this machine: the published ones cannot be
 * downloaded everywhere.
 */
import type { RootContents } from "../../scripts/root-archive.ts";
import { programPath } from "../e2e/program.ts";

export interface ServiceImage {
  readonly root: RootContents;
  readonly command: readonly string[];
}

/** Mosquitto and the programs of its start script, as in the published image. */
export const mosquittoImage = (): ServiceImage => ({
  root: {
    programs: {
      "/bin/sh": programPath("sh"),
      "/usr/sbin/mosquitto": programPath("mosquitto"),
      "/usr/bin/mosquitto_passwd": programPath("mosquitto_passwd"),
      "/usr/bin/mosquitto_pub": programPath("mosquitto_pub"),
    },
    files: {
      "/etc/passwd": "mosquitto:x:1883:1883::/:/bin/sh\n",
      "/etc/nsswitch.conf": "hosts: files dns\n",
      "/run/keep": "",
    },
    folders: {},
  },
  command: [],
});

/** As in the published image: etcd, and the program of the health check. */
export const etcdImage = (): ServiceImage => ({
  root: {
    programs: { "/usr/local/bin/etcd": programPath("etcd"), "/usr/local/bin/etcdctl": programPath("etcdctl") },
    files: { "/etc/nsswitch.conf": "hosts: files dns\n", "/run/keep": "" },
    folders: {},
  },
  command: ["/usr/local/bin/etcd"],
});
