import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

/** The default client, no version pinned, as a user writes it: `java Clients.java URL` counts the right answers. */
public class Clients {
    static final String EVALUATE = "{\"loss\":\"mse\",\"predictions\":[1,2],\"targets\":[1,4]}";
    static final String TRAIN = "{\"data\":{\"name\":\"circles\",\"n_samples\":40,\"seed\":1},\"model\":{\"name\":\"mlp\",\"hidden\":[4]},"
        + "\"loss\":{\"name\":\"binary_cross_entropy\",\"from_logits\":true},\"epochs\":3}";
    static final String INFER = "{\"inputs\":[{\"name\":\"predictions\",\"datatype\":\"FP64\",\"shape\":[2],\"data\":[1,2]},"
        + "{\"name\":\"targets\",\"datatype\":\"FP64\",\"shape\":[2],\"data\":[1,4]}]}";

    public static void main(String[] arguments) {
        var url = arguments[0];
        System.out.printf(
            "{\"evaluate\": %d, \"train\": %d, \"infer\": %d}%n",
            right(100, url + "/v1/evaluate", EVALUATE, "\"value\":2.0"),
            right(30, url + "/v1/train", TRAIN, "\"reason\":\"completed\""),
            right(30, url + "/v2/models/mean_squared_error/infer", INFER, "2.0"));
    }

    /** How many of so many requests, each by a new client and then by the same one, are answered rightly. */
    static int right(int count, String url, String body, String part) {
        int right = 0;
        HttpClient client = HttpClient.newHttpClient();
        for (int number = 0; number < count; number++) {
            if (number % 2 == 0) client = HttpClient.newHttpClient();
            var request = HttpRequest.newBuilder(URI.create(url)).header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body)).build();
            try {
                var response = client.send(request, BodyHandlers.ofString());
                if (response.statusCode() == 200 && response.body().contains(part)) right++;
                else System.err.println(response.statusCode() + " " + response.body());
            } catch (Exception error) {
                System.err.println(error);
            }
        }
        return right;
    }
}
