/**
 * Node loads all of its performance measuring with the first look at `performance`, which takes a hundredth of a whole run; all
 * that we want of it is its clock. Same clock, but another zero: the command line has only this one.
 */
const [zeroS, zeroNs] = process.hrtime();

export const performance = {
  now(): number {
    const [s, ns] = process.hrtime();
    return (s - zeroS) * 1e3 + (ns - zeroNs) / 1e6;
  },
};
