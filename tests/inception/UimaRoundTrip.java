// Opens an XMI with Apache UIMA, as INCEpTION does, and writes it again the way INCEpTION exports it.
//
// java -cp /usr/share/java/uimaj-core.jar UimaRoundTrip.java TypeSystem.xml in.xmi out.xmi
//
// Prints a line for every marker, sentence and token: type, begin, end in UTF-16, and the words in UTF-16 hex.

import java.io.FileInputStream;
import java.io.FileOutputStream;
import org.apache.uima.UIMAFramework;
import org.apache.uima.cas.CAS;
import org.apache.uima.cas.FSIterator;
import org.apache.uima.cas.impl.XmiCasDeserializer;
import org.apache.uima.cas.impl.XmiCasSerializer;
import org.apache.uima.cas.text.AnnotationFS;
import org.apache.uima.util.CasCreationUtils;
import org.apache.uima.util.XMLInputSource;

public class UimaRoundTrip {
    public static void main(String[] args) throws Exception {
        var types = UIMAFramework.getXMLParser().parseTypeSystemDescription(new XMLInputSource(args[0]));
        CAS cas = CasCreationUtils.createCas(types, null, null);
        try (var in = new FileInputStream(args[1])) {
            XmiCasDeserializer.deserialize(in, cas, false);
        }
        FSIterator<AnnotationFS> each = cas.getAnnotationIndex().iterator();
        while (each.hasNext()) {
            AnnotationFS one = each.next();
            var hex = new StringBuilder();
            for (char unit : one.getCoveredText().toCharArray()) {
                hex.append(String.format("%04x", (int) unit));
            }
            System.out.println(one.getType().getName() + " " + one.getBegin() + " " + one.getEnd() + " " + hex);
        }
        try (var out = new FileOutputStream(args[2])) {
            XmiCasSerializer.serialize(cas, null, out, true, null);
        }
    }
}
