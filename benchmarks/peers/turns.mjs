// Answers each line of standard input, a number, with the CPU and wall seconds that so many operations took.
import { createInterface } from "node:readline";

export async function turns(operation) {
  console.log(JSON.stringify({ ready: true }));
  for await (const line of createInterface({ input: process.stdin })) {
    const count = Number(line);
    const [cpu, wall] = [process.cpuUsage(), process.hrtime.bigint()];
    await operation(count);
    const { user, system } = process.cpuUsage(cpu);
    const taken = { cpu: (user + system) / 1e6, wall: Number(process.hrtime.bigint() - wall) / 1e9 };
    console.log(JSON.stringify(taken));
  }
}
