/** Seeds beyond the first hundred that once found a bug. */
export const regressions: readonly number[] = [154, 176, 329, 730, 738, 851, 2053, 5692, 20_323, 20_378];
