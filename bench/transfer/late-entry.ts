export async function lateEntry (bytes: number): Promise<number> { return bytes }
