/**
 * How long this process has worked meanwhile. That something "takes no time" is measured by this: beside other load, any
 * amount of time can go by.
 */
export async function processorTimeMs(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}
