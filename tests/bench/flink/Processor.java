package tillwatch.bench;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;

/** How much time of a core this process has taken, all its threads: what other programs take of the machine is not in it. */
final class Processor {
    private static final OperatingSystemMXBean SYSTEM = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private Processor() {}

    static long nanos() {
        return SYSTEM.getProcessCpuTime();
    }
}
