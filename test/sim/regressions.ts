/** Seeds with which something was found, beyond the first hundred. */
export const regressions: readonly number[] = [154, 176, 329, 730, 738, 851, 2053, 5692, 20_323, 20_378];
