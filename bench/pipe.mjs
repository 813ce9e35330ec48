import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A pipe, as a shell, a CI job or a container passes one to a program. Node.js passes sockets instead, to which both
 * contenders take longer to write.
 * @returns {{ output: Socket, fd: number, handOver: () => void }} `fd` is for the program; after handOver() it alone
 * has it
 */
export function openPipe() {
  const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-pipe-'));
  try {
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const output = new Socket({
      fd: openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK),
      readable: true,
      writable: false,
    });
    const fd = openSync(fifo, constants.O_WRONLY);
    return { output, fd, handOver: () => closeSync(fd) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
