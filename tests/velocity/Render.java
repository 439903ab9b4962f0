import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.StringWriter;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.commons.lang.StringEscapeUtils;
import org.apache.velocity.VelocityContext;
import org.apache.velocity.app.VelocityEngine;
import org.apache.velocity.app.event.EventCartridge;
import org.apache.velocity.app.event.ReferenceInsertionEventHandler;
import org.apache.velocity.runtime.log.NullLogChute;

/**
 * Renders mapping templates with Apache Velocity, and with the variables of API Gateway's "mapping template reference".
 *
 * <p>Reads a JSON array of cases from the standard input, and writes one of results: the text, the status and the headers
 * that the template overrides, or the error.
 */
public final class Render {
  // What API Gateway parses with, judging by its messages. Without trailing tokens: {}x is no JSON.
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

  public static void main(String[] arguments) throws IOException {
    VelocityEngine engine = new VelocityEngine();
    engine.setProperty("runtime.log.logsystem", new NullLogChute());
    engine.init();
    List<Object> results = new ArrayList<>();
    for (JsonNode one : JSON.readTree(System.in)) {
      results.add(render(engine, one));
    }
    JSON.writeValue(System.out, results);
  }

  private static Map<String, Object> render(VelocityEngine engine, JsonNode one) {
    Map<String, Object> override = new Once();
    Map<String, Object> headers = new Once();
    override.put("header", headers);
    Map<String, Object> context = new LinkedHashMap<>(map(one.get("context")));
    context.put("responseOverride", override);
    VelocityContext variables = new VelocityContext();
    variables.put("input", new Input(one));
    variables.put("util", new Util());
    variables.put("context", context);
    variables.put("stageVariables", map(one.get("stage_variables")));
    // API Gateway writes nothing in the place of what isn't there; Velocity would write the reference's source.
    EventCartridge events = new EventCartridge();
    events.addEventHandler((ReferenceInsertionEventHandler) (reference, value) -> value == null ? "" : value);
    events.attachToContext(variables);
    StringWriter text = new StringWriter();
    Map<String, Object> result = new LinkedHashMap<>();
    try {
      engine.evaluate(variables, text, "template", one.get("template").textValue());
      result.put("text", text.toString());
      result.put("status", override.get("status"));
      Map<String, String> written = new TreeMap<>();
      headers.forEach((name, value) -> written.put(name, String.valueOf(value)));
      result.put("headers", written);
    } catch (Exception | StackOverflowError error) {
      result.put("error", String.valueOf(error));
    }
    return result;
  }

  @SuppressWarnings("unchecked")
  private static Map<String, Object> map(JsonNode node) {
    return JSON.convertValue(node, Map.class);
  }

  /** "An override may only be applied to each parameter once." */
  private static final class Once extends LinkedHashMap<String, Object> {
    @Override
    public Object put(String name, Object value) {
      if (containsKey(name)) {
        throw new IllegalStateException(name + " is overridden more than once");
      }
      return super.put(name, value);
    }
  }

  public static final class Input {
    private final String body;
    private final Map<String, Object> parameters;
    private final Object missing;

    Input(JsonNode one) {
      body = one.get("body").textValue();
      parameters = map(one.get("parameters"));
      missing = one.get("missing").textValue();
    }

    public String getBody() {
      return body;
    }

    /** Takes paths of names alone, such as $.a.b. */
    public Object path(String path) throws IOException {
      Object value = body.isEmpty() ? Map.of() : JSON.readValue(body, Object.class);
      for (String name : path.substring(1).split("\\.")) {
        if (!name.isEmpty()) {
          value = value instanceof Map ? ((Map<?, ?>) value).get(name) : null;
        }
      }
      return value == null ? missing : value;
    }

    public String json(String path) throws IOException {
      return JSON.writeValueAsString(path(path));
    }

    public Object params() {
      return parameters;
    }

    public Object params(String name) {
      for (Object values : parameters.values()) {
        Object value = ((Map<?, ?>) values).get(name);
        if (value != null) {
          return value;
        }
      }
      return missing;
    }
  }

  public static final class Util {
    public String escapeJavaScript(Object value) {
      return StringEscapeUtils.escapeJavaScript(value == null ? null : value.toString());
    }

    public Object parseJson(String text) throws IOException {
      return JSON.readValue(text, Object.class);
    }

    public String urlEncode(String text) {
      return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    public String urlDecode(String text) {
      return URLDecoder.decode(text, StandardCharsets.UTF_8);
    }

    public String base64Encode(String text) {
      return Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8));
    }

    public String base64Decode(String text) {
      return new String(Base64.getDecoder().decode(text), StandardCharsets.UTF_8);
    }
  }
}
