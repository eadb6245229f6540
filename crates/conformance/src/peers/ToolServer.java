// Runs the main methods of command-line tools, one after another, in one JVM: starting a JVM costs more than most tools do.
//
// Standard input carries requests: the number of arguments, the arguments, the tool's own standard input.
// Standard output carries answers: exit status, standard output, standard error. Numbers are four bytes, big-endian;
// texts are their length and their bytes. The first argument is the class.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.kafka.common.utils.Exit;

public class ToolServer {
    /** Thrown where a tool would end the JVM. */
    private static final class Ended extends Error {
        Ended() {
            super("the tool has ended", null, false, false);
        }
    }

    /** Stands in for a standard stream; tools keep a reference to it beyond their own end. */
    private static final class Redirected extends OutputStream {
        private ByteArrayOutputStream target = new ByteArrayOutputStream();

        @Override
        public synchronized void write(int b) {
            target.write(b);
        }

        @Override
        public synchronized void write(byte[] bytes, int from, int length) {
            target.write(bytes, from, length);
        }

        synchronized byte[] take() {
            byte[] bytes = target.toByteArray();
            target = new ByteArrayOutputStream();
            return bytes;
        }
    }

    private static final Redirected out = new Redirected();
    private static final Redirected err = new Redirected();
    private static final List<Runnable> hooks = new ArrayList<>();
    private static Integer status;

    public static void main(String[] args) throws Exception {
        DataInputStream requests = new DataInputStream(System.in);
        DataOutputStream answers = new DataOutputStream(System.out);
        System.setOut(new PrintStream(out, true));
        System.setErr(new PrintStream(err, true));
        Exit.setExitProcedure((code, message) -> end(code));
        Exit.setHaltProcedure((code, message) -> end(code));
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        while (true) {
            int count;
            try {
                count = requests.readInt();
            } catch (EOFException end) {
                Runtime.getRuntime().halt(0);
                return;
            }
            String[] words = new String[count];
            for (int i = 0; i < count; i++) {
                words[i] = new String(text(requests), "UTF-8");
            }
            System.setIn(new ByteArrayInputStream(text(requests)));
            answer(answers, run(words));
        }
    }

    private static void end(int code) {
        if (status == null) {
            status = code;
        }
        throw new Ended();
    }

    private static int run(String[] words) {
        status = null;
        hooks.clear();
        String[] args = Arrays.copyOfRange(words, 1, words.length);
        try {
            Class.forName(words[0]).getMethod("main", String[].class).invoke(null, (Object) args);
        } catch (InvocationTargetException e) {
            if (!(e.getCause() instanceof Ended)) {
                e.getCause().printStackTrace();
                status = status == null ? 1 : status;
            }
        } catch (ReflectiveOperationException e) {
            e.printStackTrace();
            status = 127;
        }
        hooks.forEach(Runnable::run);
        return status == null ? 0 : status;
    }

    private static byte[] text(DataInputStream in) throws IOException {
        return in.readNBytes(in.readInt());
    }

    private static void answer(DataOutputStream answers, int status) throws IOException {
        System.out.flush();
        System.err.flush();
        answers.writeInt(status);
        for (byte[] text : List.of(out.take(), err.take())) {
            answers.writeInt(text.length);
            answers.write(text);
        }
        answers.flush();
    }
}
