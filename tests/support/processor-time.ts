/**
 * The processor time of this process during an action. Tests of linear time measure this, because elapsed time depends
 * on the machine's load.
 */
export async function processorTimeMs(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}
